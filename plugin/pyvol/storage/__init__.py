"""What a volume is made of."""
