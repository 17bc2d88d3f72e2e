// hiredis: its reply reader and command formatter only; the link to the server is ours.
#pragma once
#include <stdlib.h>
#include <sys/time.h>
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
