"""What lond does for resources and uploaded files in processes of its own, so that no link waits for it."""
