"""What empties the places of the registry, a module a kind. Each may be run twice, and says what it took, by place."""
