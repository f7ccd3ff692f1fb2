"""The administrator's command: start, stop and explain the daemons of this host."""
