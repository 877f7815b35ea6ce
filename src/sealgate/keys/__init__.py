"""Keys: reading them, making them, signing and verifying with them. Import the modules; nothing is imported here."""
