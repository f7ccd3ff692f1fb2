"""What cron or a timer runs every few minutes: it looks after this host, and tells its administrator."""
