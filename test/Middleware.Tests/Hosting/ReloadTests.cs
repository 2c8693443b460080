using System.Net;
using System.Net.Sockets;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using static ByteStreams.Middleware.Tests.Hosting.ReloadedHost;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>F46: configuration reloaded. In each test a connection to an endpoint that nobody touches lives through all of it.</summary>
[Trait("Fault", "F46")]
public class ReloadTests
{
    private const int Refused = 800;
    private const int Added = 801;
    private const int Removed = 802;
    private const int Changed = 803;
    private const int TotalChanged = 805;
    private const int TotalTooHigh = 502;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Reload_EndpointAdded_Serves_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync();

        running.Change(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        await running.WaitForAsync(Added);

        Assert.Equal(["a", "quiet"], running.Servers.Names.Order());
        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "hello", "hello");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_EndpointRemoved_ListensNoMoreAndAsksItsConnectionsToEnd_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        ByteStreamServer server = running.Servers["a"];
        EndPoint place = server.EndPoints[0];
        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "hello", "hello");

        running.Change(("a", "Url", null), ("a", "Handler", null));
        await running.WaitForAsync(Removed);

        // Its handler ends when it is told, and that ends the connection cleanly.
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel).AsTask().WaitAsync(Deadline, Cancel));
        await Assert.ThrowsAnyAsync<SocketException>(() => ByteStream.OpenConnectionAsync(place, cancellationToken: Cancel));
        Assert.False(running.Servers.TryGet("a", out _));
        client.Writer.Close();
        await server.WaitClosedAsync(Cancel).WaitAsync(Deadline, Cancel);
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_EndpointRemovedWhoseHandlerGoesOn_ConnectionLivesUntilItEnds_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "stubborn"));
        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "hello", "hello");

        running.Change(("a", "Url", null), ("a", "Handler", null));
        await running.WaitForAsync(Removed);

        await AnswersAsync(client, "still there", "still there");
        client.Writer.WriteEof();
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel).AsTask().WaitAsync(Deadline, Cancel));
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_HandlerChanged_ListenerStaysAndConnectionsGoOn_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        ByteStreamServer server = running.Servers["a"];
        EndPoint place = server.EndPoints[0];
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "hello", "hello");

        running.Change(("a", "Handler", "shout"));
        await running.WaitForAsync(Changed);

        Assert.Same(server, running.Servers["a"]);
        Assert.Equal([place], server.EndPoints);
        await using ByteStreamConnection late = await running.ConnectAsync("a");
        await AnswersAsync(late, "hello", "HELLO");
        await AnswersAsync(old, "as before", "as before");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_AccessListChanged_CountsForNewConnections_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        ByteStreamServer server = running.Servers["a"];
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "hello", "hello");

        running.Change(("a", "Access:Deny", "127.0.0.0/8"));
        await running.WaitForAsync(Changed);

        Assert.Same(server, running.Servers["a"]);
        await IsRefusedAsync(running, "a");
        await AnswersAsync(old, "as before", "as before");

        running.Change(("a", "Access:Enabled", "false"));
        await running.WaitForAsync(Changed, 2);
        await using ByteStreamConnection late = await running.ConnectAsync("a");
        await AnswersAsync(late, "hello", "hello");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_DefaultsChanged_CountForAllThatDoNotSayOtherwise_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"), ("b", "Url", "tcp://127.0.0.1:0"), ("b", "Handler", "echo"), ("b", "Access:Allow", "127.0.0.0/8"));

        running.Change(("", "Defaults:Access:Allow:0", "192.0.2.0/24"));
        await running.WaitForAsync(Changed, 3);

        await IsRefusedAsync(running, "a");
        await using ByteStreamConnection client = await running.ConnectAsync("b");
        await AnswersAsync(client, "hello", "hello");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F47")]
    public async Task Reload_SomethingElseChanged_ConnectionsThatAreOpenStayCounted_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"), ("a", "Admission:MaxConnections", "1"));
        await using ByteStreamConnection only = await running.ConnectAsync("a");
        await AnswersAsync(only, "hello", "hello");

        // A error, with another number, which is never taken over; then neither.
        running.Change(("a", "Admission:MaxConnections", "5"), ("a", "Lmit", "5"));
        await running.WaitForAsync(Refused);
        running.Change(("a", "Admission:MaxConnections", "1"), ("a", "Lmit", null), ("a", "Handler", "shout"));
        await running.WaitForAsync(Changed);

        await IsRefusedAsync(running, "a");
        running.Change(("a", "Admission:MaxConnections", "2"));
        await running.WaitForAsync(Changed, 2);
        await using ByteStreamConnection late = await running.ConnectAsync("a");
        await AnswersAsync(late, "hello", "HELLO");
        await AnswersAsync(only, "as before", "as before");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_UrlChanged_NewListenerServesAndOldConnectionsLiveOn_F46()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "127.0.0.2 is an address there without further ado");
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        EndPoint place = running.Servers["a"].EndPoints[0];
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "hello", "hello");

        running.Change(("a", "Url", "tcp://127.0.0.2:0"));
        await running.WaitForAsync(Changed);

        await Assert.ThrowsAnyAsync<SocketException>(() => ByteStream.OpenConnectionAsync(place, cancellationToken: Cancel));
        Assert.Equal("127.0.0.2", ((IPEndPoint)running.Servers["a"].EndPoints[0]).Address.ToString());
        await using ByteStreamConnection late = await running.ConnectAsync("a");
        await AnswersAsync(late, "hello", "hello");
        await AnswersAsync(old, "as before", "as before");
        await running.IsUndisturbedAsync();
    }

    [Theory(Timeout = 120000)]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task Reload_SocketsOptionsChanged_SamePlaceListensAnewAndOldConnectionsLiveOn_F46(string kind)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() && kind == "unix", "the path is that of a Unix system");
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.sock");
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", kind == "tcp" ? $"tcp://127.0.0.1:{Ports.Free()}" : $"unix:{path}"), ("a", "Handler", "limit"));
        ByteStreamServer before = running.Servers["a"];
        string place = before.EndPoints[0].ToString()!;
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "how long?", "65536");

        running.Change(("a", "Limit", "1000"), ("a", "Backlog", "7"));
        await running.WaitForAsync(Changed);

        Assert.NotSame(before, running.Servers["a"]);
        Assert.Equal(place, running.Servers["a"].EndPoints[0].ToString());
        await using ByteStreamConnection late = await running.ConnectAsync("a");
        await AnswersAsync(late, "how long?", "1000");
        await AnswersAsync(old, "and you?", "65536");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_Invalid_ReportsEachErrorAndChangesNothing_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"), ("b", "Url", "tcp://127.0.0.1:0"), ("b", "Handler", "echo"));
        ByteStreamServer[] before = [running.Servers["a"], running.Servers["b"]];
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "hello", "hello");

        // Beside the two errors: one removed, one added, one changed, another total. None of them happens.
        running.Change(
            ("a", "Handler", "ecko"), ("c", "Url", "tcp://127.0.0.1:0"), ("c", "Handler", "echo"), ("b", "Url", null), ("b", "Handler", null),
            ("d", "Url", "tcp://x"), ("d", "Handler", "echo"), ("quiet", "Handler", "shout"), ("", "MaxConnections", "1"));
        await running.WaitForAsync(Refused, 2);

        Assert.Equal(
            [
                "ByteStreams:Endpoints:a:Handler: there is no handler 'ecko'. Handlers are: echo, limit, relay, shout, stubborn.",
                "ByteStreams:Endpoints:d:Url: 'tcp://x' has no port. Write tcp://host:port; port 0 takes a free one.",
            ],
            running.Log.GetSnapshot().Where(record => record.Id.Id == Refused).Select(record => record.GetStructuredStateValue("Error")).Order());
        Assert.All(running.Log.GetSnapshot().Where(record => record.Id.Id == Refused), record => Assert.Equal(LogLevel.Error, record.Level));

        // A change that is right is taken over behind it: by then the wrong one would have been.
        running.Change(("a", "Handler", "shout"), ("b", "Url", "tcp://127.0.0.1:0"), ("b", "Handler", "echo"), ("c", "Url", null), ("c", "Handler", null),
            ("d", "Url", null), ("d", "Handler", null), ("quiet", "Handler", "echo"), ("", "MaxConnections", null));
        await running.WaitForAsync(Changed);
        Assert.Equal(before, [running.Servers["a"], running.Servers["b"]]);
        Assert.DoesNotContain(running.Log.GetSnapshot(), record => record.Id.Id is Added or Removed or TotalChanged);
        await AnswersAsync(old, "as before", "as before");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_NewPlaceIsTaken_OldOneStays_F46()
    {
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        ByteStreamServer before = running.Servers["a"];

        running.Change(("a", "Url", $"tcp://{taken.EndPoints[0]}"));
        await running.WaitForAsync(Refused);

        Assert.Contains($"ByteStreams:Endpoints:a:Url: {taken.EndPoints[0]} cannot be bound: the port is already in use.", running.Last(Refused), StringComparison.Ordinal);
        Assert.Same(before, running.Servers["a"]);
        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "hello", "hello");

        // It is tried again with the next change, whatever that is about.
        await taken.DisposeAsync();
        running.Change(("b", "Url", "tcp://127.0.0.1:0"), ("b", "Handler", "echo"));
        await running.WaitForAsync(Changed);
        Assert.NotSame(before, running.Servers["a"]);
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_TwoQuickChanges_EndsAtTheLast_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));

        for (int i = 0; i < 50; i++)
        {
            running.Change(("a", "Handler", "stubborn"), ("a", "Telemetry:Tracing", i % 2 == 0 ? "true" : "false"));
            running.Change(("a", "Handler", "shout"));
        }

        running.Change(("last", "Url", "tcp://127.0.0.1:0"), ("last", "Handler", "echo"));
        await running.WaitForAsync(Added);

        await running.AnswersInTheEndAsync("a", "hello", "HELLO");
        Assert.DoesNotContain(running.Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_ChangedAgainWhileItIsRead_IsAppliedAfterwards_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));

        running.AtNextReading("a", "Handler", () => running.Change(("a", "Handler", "shout")));
        running.Change(("a", "Handler", "stubborn"));

        await running.AnswersInTheEndAsync("a", "hello", "HELLO");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_NothingIsLeft_IsRefused_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync();

        running.Change(("quiet", "Url", null), ("quiet", "Handler", null));
        await running.WaitForAsync(Refused);

        Assert.Contains("Endpoints: has no endpoint.", running.Last(Refused), StringComparison.Ordinal);
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F47")]
    public async Task Reload_MaxConnections_AppliesAtOnceAndAbortsNone_F46()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));

        // One of the two is the quiet one.
        running.Change(("", "MaxConnections", "2"));
        await running.WaitForAsync(TotalChanged);
        await using ByteStreamConnection first = await running.ConnectAsync("a");
        await AnswersAsync(first, "hello", "hello");
        await IsRefusedAsync(running, "a");

        running.Change(("", "MaxConnections", "3"));
        await running.WaitForAsync(TotalChanged, 2);
        await using ByteStreamConnection second = await running.ConnectAsync("a");
        await AnswersAsync(second, "hello", "hello");
        await IsRefusedAsync(running, "a");

        running.Change(("", "MaxConnections", "1"));
        await running.WaitForAsync(TotalChanged, 3);
        await IsRefusedAsync(running, "a");
        await AnswersAsync(first, "still there", "still there");
        await AnswersAsync(second, "still there", "still there");

        running.Change(("", "MaxConnections", "0"));
        await running.WaitForAsync(TotalChanged, 4);
        await using ByteStreamConnection third = await running.ConnectAsync("a");
        await AnswersAsync(third, "hello", "hello");
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_ARelayIsAdded_HalfAsManyConnectionsFitTheDescriptors()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync();
        Assert.SkipWhen(running.Total.Capacity.Limit.Most == long.MaxValue, "The number of open descriptors has no limit here (ulimit -n).");
        Assert.Equal(running.Total.Capacity.Derive(relays: false), running.Total.Most);

        running.Change(("r", "Url", "tcp://127.0.0.1:0"), ("r", "Handler", "relay"), ("r", "Relay:Upstreams:0", "tcp://127.0.0.1:9"));
        await running.WaitForAsync(TotalChanged);
        Assert.Equal(running.Total.Capacity.Derive(relays: true), running.Total.Most);
        await running.IsUndisturbedAsync();
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F73")]
    public async Task MaxConnections_MoreThanTheDescriptorsAreEnoughFor_IsWarnedOf()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("", "MaxConnections", "2000000000"));
        await running.WaitForAsync(TotalTooHigh);

        running.Change(("", "MaxConnections", "2"));
        await running.WaitForAsync(TotalChanged);
        running.Change(("", "MaxConnections", "1999999999"));
        await running.WaitForAsync(TotalTooHigh, 2);
        await running.IsUndisturbedAsync();
    }

    /// <summary>Who is refused is reset: maybe while connecting, maybe when it reads.</summary>
    private static async Task IsRefusedAsync(ReloadedHost running, string endpoint)
    {
        Exception reset = await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await using ByteStreamConnection client = await running.ConnectAsync(endpoint);
            await client.Reader.ReadAsync(1, Cancel).AsTask().WaitAsync(Deadline, Cancel);
        });
        Assert.True(reset is ConnectionResetException or SocketException { SocketErrorCode: SocketError.ConnectionReset }, reset.ToString());
    }
}
