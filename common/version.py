"""The version of this software: what setup.cfg gives to the package, lond to peers, and reports to administrators."""

VERSION = "0.1.0"
SOFTWARE = f"loncapa-net-{VERSION}"  # as it calls itself to peers
