"""The network as one ONNX graph, for engines other than torch; needs the package onnx of the extra `export`.

Written node by node instead of traced: it takes milliseconds where torch.onnx's exporter takes seconds, gives the
same graph with every version of torch, bears the paper's names, and has every size dynamic.
"""

METADATA_KEY = "atonce"
"""The key under which `ModelFile.describe()` stands as JSON: in ONNX's metadata_props and in OpenVINO's rt_info."""
