"""The commands that lond executes, one module per family.

Importing this package fills :data:`lond.commands.registry.REGISTRY`. A new family is one module with
functions under the decorator ``command`` and one name in the import below.
"""

from lond.commands import (
    announcement,
    authentication,
    chat,
    courses,
    ids,
    journal,
    link,
    listing,
    queries,
    records,
    resources,
    temporary,
    userfiles,
)

__all__ = [
    "announcement",
    "authentication",
    "chat",
    "courses",
    "ids",
    "journal",
    "link",
    "listing",
    "queries",
    "records",
    "resources",
    "temporary",
    "userfiles",
]
