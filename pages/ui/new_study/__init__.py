"""The form of a new study on the page Train.

form        preset, dataset, and all settings folded
settings    pretraining, arms and their comparison, extractor and machine
finetuning  epochs of fine-tuning, and LoRA where the arms' networks have attention
networks    the arms in one line, the list of networks to add to them, and embeddings from elsewhere
analyses    additional analyses
marks       whether marks of the dataset's images are used
"""
