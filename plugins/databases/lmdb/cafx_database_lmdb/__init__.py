"""LMDB: databases in a memory-mapped file; values are views of the mapping."""

from cafx_database_lmdb.files import FILE
from cafx_database_lmdb.reader import LMDBReader
from cafx_database_lmdb.writer import LMDBWriter
from cafx_lib_feed.database import Database


class LMDB(Database):
    """A folder with the file ``data.mdb``, as written by Caffe's tools.

    A file is checked when it is opened (`cafx_database_lmdb.pages`), and its size before each batch is read. What
    another program changes in a file while it is open cannot be checked: copy a database before you change it.
    """

    name = "LMDB"
    mark = FILE
    reader = LMDBReader
    writer = LMDBWriter
