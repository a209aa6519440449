"""The second form of the first step of an ensemble: a GPU decodes and warps, by a pipeline of DALI's.

`face_preprocess` reads each picture's header and computes where the crop lies; `face_warp`, a model of
Triton's DALI backend, does the rest in batches. What DALI can't take is decoded by `face_preprocess` as on a
CPU.
"""
