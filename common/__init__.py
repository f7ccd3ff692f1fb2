"""What both ends of a link share. Imports nothing of ours but itself."""
