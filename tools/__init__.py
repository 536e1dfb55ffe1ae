"""What writes parts of the documentation: result tables, pictures of the app, the list of licences."""
