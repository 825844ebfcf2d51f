"""One reader per file format of opacities.

Which file is read by which one says :mod:`arielflow.physics.opacity_files`.
"""
