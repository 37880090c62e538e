#!/usr/bin/perl
# fake_redis.pl FOLDER [HOST:PORT] - a server that answers what the limiter asks of Redis, or what a test wants it to.
# It listens on FOLDER/socket, or on HOST:PORT.  A request of one limit gets the numbers 1 R 0 1, in which R counts the
# requests of all connections.  FOLDER/behaviour.N is read for the Nth connection, or else FOLDER/behaviour; it has lines of
#   AT HOW TEXT    AT: connect, AUTH, SELECT, SCRIPT, EVALSHA, EVAL, or take (an EVALSHA or EVAL after the probe)
#                  HOW: before, after or instead of its reply; `endless` sends TEXT instead, endlessly
#                  TEXT: what is sent, with \r\n as in Perl; "sleep S" waits so many seconds; "close" closes
# FOLDER/connections has a line for each connection, FOLDER/commands one for each command.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

my ($folder, $address) = @ARGV;
my $sha = '0123456789abcdef0123456789abcdef01234567';
my %children;
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { kill 'KILL', keys %children; exit 0 };
$SIG{CHLD} = sub { while ((my $pid = waitpid(-1, 1)) > 0) { delete $children{$pid} } };

sub note { open(my $file, '>>', "$folder/$_[0]") or die; syswrite($file, "$_[1]\n"); close $file }

sub behaviour {
  my %behaviour;
  my $file;
  open($file, '<', "$folder/behaviour.$_[0]") or open($file, '<', "$folder/behaviour") or return \%behaviour;
  while (<$file>) {
    my ($at, $how, $text) = /^(\S+) (\S+) (.*)$/ or next;
    $text =~ s/\\x([0-9a-f]{2})/chr hex $1/ge;
    $text =~ s/\\r/\r/g;
    $text =~ s/\\n/\n/g;
    $behaviour{$at}{$how} = $text;
  }
  return \%behaviour;
}

sub act {
  my ($client, $text) = @_;
  return unless defined $text;
  if ($text =~ /^sleep (\S+)$/) { select undef, undef, undef, $1 }
  elsif ($text eq 'close') { exit 0 }
  else { print $client $text or exit 0 }
}

sub answer {
  my ($client, $behaviour, $at, $reply) = @_;
  my $do = $behaviour->{$at} // {};
  act($client, $do->{before});
  while (defined $do->{endless}) { act($client, $do->{endless} x 1024) }
  act($client, $do->{instead} // $reply);
  act($client, $do->{after});
}

sub read_command {
  my ($client) = @_;
  my @words;
  my $line = <$client> // exit 0;
  my ($count) = $line =~ /^\*(\d+)/ or exit 0;
  for (1 .. $count) {
    my ($len) = (<$client> // exit 0) =~ /^\$(\d+)/;
    read($client, my $word, $len + 2) == $len + 2 or exit 0;
    push @words, substr($word, 0, $len);
  }
  return @words;
}

sub serve {
  my ($client, $number) = @_;
  my $behaviour = behaviour($number);
  my $probed;
  $client->autoflush(1);
  note('connections', 1);
  answer($client, $behaviour, 'connect', '');
  while (my ($name, @words) = read_command($client)) {
    note('commands', "$name @words[1 .. $#words]");
    my $reply = $name eq 'SCRIPT' ? "\$40\r\n$sha\r\n" : $name eq 'HGET' ? "\$-1\r\n" : "+OK\r\n";
    my $at = $name;
    if ($name eq 'EVAL' && $words[0] =~ /ZADD/) { # lua/hosts.lua: there is one host
      $at = 'HOSTS';
      $reply = "*1\r\n:1\r\n";
    } elsif ($name =~ /^EVAL/) {
      my $numbers = $probed ? ":1\r\n:" . (-s "$folder/takes" // 0) . "\r\n:0\r\n:1\r\n"
        : ":1\r\n:1\r\n:0\r\n:1\r\n:0\r\n:1\r\n:-1\r\n:0\r\n";
      $at = 'take' if $probed;
      if ($probed) { open(my $file, '>>', "$folder/takes"); syswrite($file, '.'); close $file }
      # What is to be said to EVALSHA or EVAL is said in place of the probe's reply.
      $probed = 1 unless defined(($behaviour->{$at} // {})->{instead});
      $reply = '*' . ($numbers =~ tr/:/:/) . "\r\n$numbers";
    }
    answer($client, $behaviour, $at, $reply);
  }
}

my $listener = $address
  ? IO::Socket::INET->new(LocalAddr => $address, Listen => 128, ReuseAddr => 1)
  : IO::Socket::UNIX->new(Local => "$folder/socket", Listen => 128);
die "cannot listen: $!" unless $listener;
note('listens', 1);
my $accepted = 0;
while (1) {
  my $client = $listener->accept or next;
  $accepted++;
  my $pid = fork // die;
  if ($pid == 0) {
    $SIG{TERM} = 'DEFAULT';
    close $listener;
    serve($client, $accepted);
    exit 0;
  }
  $children{$pid} = 1;
  close $client;
}
