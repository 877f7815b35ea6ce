"""Identity tokens: who signs, as somebody else vouches for it; where they come from."""
