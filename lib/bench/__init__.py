"""What ``make bench`` times."""
