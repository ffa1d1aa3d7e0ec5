"""``python -m caffe.gateway``: answer requests on standard input until it is closed."""

from caffe.gateway.worker import main

if __name__ == "__main__":
    main()
