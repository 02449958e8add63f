# A web server that answers every request with the text of one file as it is now.
use IO::Socket::INET;

my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 64, ReuseAddr => 1) or die "cannot listen: $!";
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    my $text = '';
    if (open my $page, '<', '/root/hello_world.txt') { local $/; $text = <$page> // '' }
    print $client "HTTP/1.0 200 OK\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
    close $client;
}
