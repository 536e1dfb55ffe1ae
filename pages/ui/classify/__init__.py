"""The parts of Classify.

models           which models, and their names on the page
input            which images
answers          the predictions of the session's images
warnings         what limits a prediction
predictions      the prediction of each model, side by side
crop             the square of the picture that the models see
explanations     saliency, occlusion, nearest training images, reconstruction
results_table    several images in one table, and downloads
"""
