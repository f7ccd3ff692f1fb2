"""The style sheet of the status page: light or dark, wide or narrow; and the policy that lets a browser use it."""

from __future__ import annotations

import base64
import hashlib

from lonstatus.markup import Markup

# Markup, as a style element's text is not unescaped by browsers; nothing of it comes from outside.
STYLE = Markup("""
:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --card: #ffffff; --ink: #1b2430; --quiet: #5a6675; --line: #dde2e9;
  --green: #0b6b3a; --green-ground: #d9f2e3; --yellow: #7a4d00; --yellow-ground: #fdeec7;
  --red: #9c1420; --red-ground: #fbdcdc; --one: #1f5fbf; --two: #c2570c; --link: #1f5fbf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12171e; --card: #1b222c; --ink: #e6eaf0; --quiet: #9aa7b6; --line: #313b48;
    --green: #7fe0a8; --green-ground: #103a25; --yellow: #f6cf6d; --yellow-ground: #43330a;
    --red: #ff9d9d; --red-ground: #4c181d; --one: #7db3ff; --two: #ffa564; --link: #8dbcff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 82rem; padding: 1rem clamp(0.75rem, 3vw, 2rem);
  background: var(--ground); color: var(--ink);
  font: 100%/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
h1 { margin: 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 0.6rem; font-size: 1.15rem; }
h3 { margin: 0 0 0.3rem; font-size: 1rem; }
p { margin: 0.3rem 0; }
a { color: var(--link); }
code { font-size: 0.95em; }
.quiet, footer { color: var(--quiet); font-size: 0.9rem; }
section {
  margin: 1rem 0; padding: 1rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem;
}
.pill {
  display: inline-block; padding: 0.05em 0.65em; border-radius: 1em; border: 1px solid currentColor;
  font-size: 0.85rem; font-weight: 600; line-height: 1.5; white-space: nowrap; vertical-align: middle;
}
.pill.green { color: var(--green); background: var(--green-ground); }
.pill.yellow { color: var(--yellow); background: var(--yellow-ground); }
.pill.red { color: var(--red); background: var(--red-ground); }
.facts { display: flex; flex-wrap: wrap; gap: 0.3rem 1.5rem; margin: 0.6rem 0; padding: 0; list-style: none; }
.findings { margin: 0; padding: 0; list-style: none; }
.findings li { display: flex; gap: 0.7rem; align-items: baseline; padding: 0.3rem 0; overflow-wrap: anywhere; }
.findings .pill { flex: none; min-width: 5.2rem; text-align: center; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--quiet); font-size: 15px; }
.grid, .axis { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--quiet); }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.line-1 { stroke: var(--one); }
polyline.line-2 { stroke: var(--two); stroke-dasharray: 6 3; }
.dot.line-1, .mark-1 { fill: var(--one); background: var(--one); }
.dot.line-2 { fill: var(--two); }
.mark-2 { background: repeating-linear-gradient(90deg, var(--two) 0 6px, transparent 6px 9px); }
figcaption { display: flex; flex-direction: column; color: var(--quiet); font-size: 0.88rem; }
.mark { display: inline-block; width: 1.3rem; height: 3px; margin-right: 0.5rem; vertical-align: middle; }
@media (max-width: 44rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, th, td { display: block; width: auto; }
  tbody tr { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
  tbody tr:last-child { border-bottom: 0; }
  tbody th { padding: 0.1rem 0; border: 0; text-align: left; }
  tbody td { display: flex; gap: 0.4rem; padding: 0.1rem 0; border: 0; text-align: left;
    white-space: normal; overflow-wrap: anywhere; }
  tbody td::before { content: attr(data-label); color: var(--quiet); white-space: nowrap; }
  tbody td:empty, tbody td.none { display: none; }
}
""")

# What a page with this style, and nothing else that is not text, allows itself.
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
