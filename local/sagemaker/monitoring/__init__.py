"""What monitoring schedules do: when a run is due, and the processing jobs it takes."""
