"""The channels that carry notices. Each sends a parcel and says what became of it, without the receiver's words."""
