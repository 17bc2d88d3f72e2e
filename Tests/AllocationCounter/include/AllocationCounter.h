// Nothing is called from outside: the library is put before a program by LD_PRELOAD.
