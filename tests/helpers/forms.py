"""What a browser sends back of a form without showing it."""

from __future__ import annotations

import re


def hidden(text: str) -> dict[str, str]:
    """The hidden fields of a page's last form."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text.rpartition("<form")[2])
    return dict(fields)
