"""What people may do with what is held about them: take it away, have a part or all of it erased, with proof."""
