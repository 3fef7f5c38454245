"""What is seen of a run. Views watch events; none of them is on the way of the data."""
