"""The proxy daemon: one child per peer owns a UNIX socket, a link and a FIFO of delayed messages."""
