"""Who a user is: accounts, passwords, log-ins, the workers that hash, and the throttle."""
