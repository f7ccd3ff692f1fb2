"""How this host is: its daemons, links and queues, read without asking any process."""
