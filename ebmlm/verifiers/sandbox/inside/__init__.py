"""What runs inside: started without the rest of the package, so standard library only."""
