"""What is done about it: incidents, and what they tell the outside."""
