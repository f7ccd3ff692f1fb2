"""The library that web handlers call: requests and critical messages to the hosts of the network."""

from lonnet.client import Lonnet

__all__ = ["Lonnet"]
