"""Parts of the page Latent space.

map_picker       the two maps that the address names
loaded_map       one map with its dataset, and the columns to colour and filter by
map_view         the maps side by side with the selected images
filters          method, colour, filter and search above the maps
map_chart        one map's chart with its quality measures
map_hover        the image of the dot under the pointer, and images in place of dots (with .html, .css, .js)
map_table        the table of its points
selection        which images are selected: by chart, table, search or address, the same in both maps
selected_images  the selected image, or the selected images
upload           an image of the user's own, placed on the maps
traverse         the latent traversal: one slider a dimension
interpolation    between two images, mean images
class_path       from an image towards a class
data_issues      near-duplicates, likely label errors, outliers
new_map          the form for a new map, and the progress of one
"""
