"""Jobs that survive interruptions: state folders, requeueing, uploads left over, Ray."""
