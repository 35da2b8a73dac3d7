/*
 * In place of libsystemd's header, which HAProxy up to 2.9 includes: the two functions
 * that HAProxy calls. They are in ../systemd.c.
 */
#ifndef MWORKER_SD_DAEMON_H
#define MWORKER_SD_DAEMON_H

int sd_notify(int unset_environment, const char *message);
int sd_notifyf(int unset_environment, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
