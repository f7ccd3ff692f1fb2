"""The web pages of a host: WSGI blueprints on lonnet, as an application or to be mounted in one."""

from lonnet.handlers.application import create_app, mount

__all__ = ["create_app", "mount"]
