"""Published weights: which exist, how they are installed, and how they are read.

`registry` lists what is published; `download`, `recognise` and `install` put it into the bundle `full`; `bundle` opens
bundles, `models` loads their models, and `verify` tries each of them. `svdaudio.weights` reads the files. May import
models and lower layers.
"""
