"""The public way in: disclosed shipments, bookings and macro series become orders and capacity per chip."""
