"""What judges and generators on the network have in common."""
