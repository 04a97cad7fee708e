"""What `overspill doctor` looks at: each check is a sentence, and no check can hang or crash the others."""
