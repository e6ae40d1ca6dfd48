"""Small convolutional networks on log-mel spectrograms: the audio encoder and the tagger of the mini bundle."""
