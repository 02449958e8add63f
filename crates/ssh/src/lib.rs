//! SSH client: host keys, keys, exec with terminals, SFTP.
