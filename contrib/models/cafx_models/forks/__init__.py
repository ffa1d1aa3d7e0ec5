"""Reference models of Caffe's forks; each needs the layers that the extra ``forks`` installs."""
