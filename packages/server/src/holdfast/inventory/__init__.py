"""What every device is: reading model files, the examples that ship, and the schema for editors."""
