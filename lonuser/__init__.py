"""The administrator's tool for users: add, show, export, import, move."""
