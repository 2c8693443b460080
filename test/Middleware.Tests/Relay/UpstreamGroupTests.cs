using System.Net;
using ByteStreams.Relay;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

public class UpstreamGroupTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly RelayOptions _options = new() { EjectAfter = 3, EjectFor = TimeSpan.FromSeconds(10), HealthyAfter = 2, UnhealthyAfter = 3 };

    [Fact]
    public async Task Addresses_IPv4MappedLiteral_IsAnIPv4Address()
    {
        var upstream = new Upstream("tcp://[::ffff:192.0.2.1]:80", _options, _time);

        Assert.Equal([IPEndPoint.Parse("192.0.2.1:80")], await upstream.GetAddressesAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Addresses_NameThatResolvesToAnIPv4MappedAddress_IsAnIPv4Address()
    {
        var upstream = new Upstream(
            "tcp://app.example:80", _options, _time, (_, _, _) => Task.FromResult<IReadOnlyList<IPAddress>>([IPAddress.Parse("::ffff:192.0.2.1")]));

        Assert.Equal([IPEndPoint.Parse("192.0.2.1:80")], await upstream.GetAddressesAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Choose_RoundRobin_TakesOneAfterTheOther()
    {
        UpstreamGroup group = Group(LoadBalancing.RoundRobin, 3);

        Assert.Equal("012012", Choose(group, 6));
    }

    [Fact]
    public void Choose_LeastConnections_TakesTheLeastLoadedAndAmongEqualsOneAfterTheOther()
    {
        UpstreamGroup group = Group(LoadBalancing.LeastConnections, 3);
        Assert.Equal("012", Choose(group, 3));

        group.All[1].Leave();
        Assert.Equal("1", Choose(group, 1));

        group.All[2].Leave();
        group.All[2].Leave();
        Assert.Equal("2", Choose(group, 1));
    }

    [Fact]
    public void Choose_PowerOfTwoChoices_TakesTheLessLoadedOfTwoThatDiffer()
    {
        var drawn = new Queue<int>([0, 1, 2, 0, 1, 1]);
        UpstreamGroup group = Group(LoadBalancing.PowerOfTwoChoices, 3, below =>
        {
            int number = drawn.Dequeue();
            Assert.InRange(number, 0, below - 1);
            return number;
        });

        // 0 and 2, both idle; 2 and 0, of which 0 has one; 1 and 0.
        Assert.Equal("021", Choose(group, 3));
    }

    [Fact]
    public void Choose_OneHasFailed_TakesAnotherAndEndsWhenAllHave()
    {
        UpstreamGroup group = Group(LoadBalancing.RoundRobin, 2);

        Assert.Equal(group.All[1], group.Choose([group.All[0]]));
        Assert.Null(group.Choose([group.All[0], group.All[1]]));
    }

    [Fact]
    public void Choose_OneIsEjected_ComesBackWhenItsTimeIsOver()
    {
        UpstreamGroup group = Group(LoadBalancing.RoundRobin, 2);
        Assert.Equal([0, 0, 3], [group.All[0].RecordFailure(), group.All[0].RecordFailure(), group.All[0].RecordFailure()]);

        Assert.Equal("1111", Choose(group, 4));
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Contains('0', Choose(group, 2));

        // Behind it one failure is enough, and one success forgets all.
        Assert.Equal(4, group.All[0].RecordFailure());
        Assert.True(group.All[0].IsEjected);
        Assert.True(group.All[0].RecordSuccess());
        Assert.False(group.All[0].IsEjected);
        Assert.Equal(0, group.All[0].RecordFailure());
    }

    [Fact]
    public void Choose_AllAreEjected_TriesThemAll()
    {
        UpstreamGroup group = Group(LoadBalancing.RoundRobin, 2);
        foreach (Upstream upstream in group.All)
        {
            _ = upstream.RecordFailure() + upstream.RecordFailure() + upstream.RecordFailure();
        }

        Assert.Equal("0101", Choose(group, 4));
    }

    [Fact]
    public void Failed_EjectAfterZero_NeverEjects()
    {
        _options.EjectAfter = 0;
        Upstream upstream = Group(LoadBalancing.RoundRobin, 1).All[0];

        Assert.All(Enumerable.Range(0, 100), _ => Assert.Equal(0, upstream.RecordFailure()));
        Assert.False(upstream.IsEjected);
    }

    [Fact]
    public void Checked_SoManyInARow_ChangesHealth()
    {
        Upstream upstream = Group(LoadBalancing.RoundRobin, 2).All[0];

        // A good one in between begins the count anew.
        Assert.Equal("000001", Check(upstream, "--+---"));
        Assert.False(upstream.IsHealthy);
        Assert.Equal("0001", Check(upstream, "+-++"));
        Assert.True(upstream.IsHealthy);
    }

    [Fact]
    public void Choose_OneIsUnhealthy_TakesTheOthersAndEjectedOnesBeforeIt()
    {
        UpstreamGroup group = Group(LoadBalancing.RoundRobin, 2);
        Assert.All(Enumerable.Range(0, 3), _ => group.All[0].RecordHealthCheck(false));
        Assert.Equal("111", Choose(group, 3));

        _ = group.All[1].RecordFailure() + group.All[1].RecordFailure() + group.All[1].RecordFailure();
        Assert.Equal("111", Choose(group, 3));
        Assert.Equal(group.All[0], group.Choose([group.All[1]]));
    }

    [Fact]
    public async Task Addresses_OfANameWithTwo_BeginWithAnotherOneEachTime()
    {
        IReadOnlyList<IPAddress> known = [IPAddress.Parse("192.0.2.1"), IPAddress.Parse("192.0.2.2")];
        var upstream = new Upstream("tcp://app.example:80", _options, _time, (_, _, _) => Task.FromResult(known));
        EndPoint first = new IPEndPoint(known[0], 80), second = new IPEndPoint(known[1], 80);

        IReadOnlyList<EndPoint> once = await upstream.GetAddressesAsync(TestContext.Current.CancellationToken);
        IReadOnlyList<EndPoint> again = await upstream.GetAddressesAsync(TestContext.Current.CancellationToken);

        Assert.Equal([first, second], once.OrderBy(address => address.ToString()));
        Assert.Equal([once[1], once[0]], again);
        Assert.Equal(once, await upstream.GetAddressesAsync(TestContext.Current.CancellationToken));
    }

    /// <summary>Good and failed checks; answers which of them have changed its health.</summary>
    private static string Check(Upstream upstream, string checks) => string.Concat(checks.Select(check => upstream.RecordHealthCheck(check == '+') ? '1' : '0'));

    private static string Choose(UpstreamGroup group, int count) =>
        string.Concat(Enumerable.Range(0, count).Select(_ => group.Choose([])!.Name[^1]));

    private UpstreamGroup Group(LoadBalancing balancing, int count, Func<int, int>? draw = null) =>
        new([.. Enumerable.Range(0, count).Select(i => new Upstream($"unix:@upstream-{i}", _options, _time))], balancing, draw);
}
