"""derm_core: does a VAE trained from scratch on skin images serve diagnosis better than ImageNet weights?

The engine under the app. It knows nothing of any screen: imports run downwards only,
serve, insight, study -> training -> nets -> data -> config, workspace.
"""

__version__ = "0.1.0"
