"""Images from arrays and from Pillow."""

import numpy as np
from PIL import Image as Pillow

import tracehouse as cm

run = cm.init_run(name="arrays", client_run_id="arrays", capture_env=False, system_metrics=False)
colours = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
run.log({"rgb": cm.Image(colours)})
run.log_image("grey", colours[:, :, 0])
run.log_image("rgba", np.dstack([colours, colours[:, :, :1]]))
run.log_image("int64", colours.astype(np.int64), step=2)
run.log_image("pillow", Pillow.fromarray(colours))
run.log_image("pillow jpeg", Pillow.fromarray(colours), format="jpeg")
run.log({"float64": np.float64(0.5)})
run.log({"step": 1}, step=np.int64(7))
run.finish()
