"""What linking knows as data: regions with their partners, ages, and messages for people, a language a file."""
