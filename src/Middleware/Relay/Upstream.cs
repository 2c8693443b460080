using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Addresses;

namespace ByteStreams.Relay;

/// <summary>One place to pass connections on to: its addresses, how many connections it has, and whether it is worth a try. Thread-safe.</summary>
internal sealed class Upstream
{
    private readonly EndpointUrl _url;
    private readonly RelayOptions _options;
    private readonly TimeProvider _time;
    private readonly Resolver _resolve;
    private readonly Lock _gate = new();
    private IReadOnlyList<EndPoint>? _addresses;
    private int _next;
    private int _active;
    private int _failures;
    private long _ejectedAt;
    private bool _isEjected;
    private int _checks;
    private bool _isHealthy = true;

    /// <param name="text">As it is written in the options.</param>
    /// <param name="options">The relay's.</param>
    /// <param name="time">The clock.</param>
    /// <param name="resolve">Finds a name's addresses; the system's resolver if null. For tests.</param>
    public Upstream(string text, RelayOptions options, TimeProvider time, Resolver? resolve = null)
    {
        _resolve = resolve ?? HostAddresses.ForConnectingAsync;
        _url = EndpointUrl.Parse(text, out string? wrong) ?? throw new FormatException(wrong);
        Name = text;
        _options = options;
        _time = time;
        if (_url.EndPoint is EndPoint known)
        {
            _addresses = [known];
        }
        else if (IPAddress.TryParse(_url.Host, out IPAddress? address))
        {
            _addresses = [new IPEndPoint(PlainAddress.From(address), _url.Port)];
        }
    }

    /// <summary>Finds the addresses of a name.</summary>
    internal delegate Task<IReadOnlyList<IPAddress>> Resolver(string host, AddressFamily family, CancellationToken cancellationToken);

    /// <summary>As it is written in the options.</summary>
    public string Name { get; }

    public bool IsTls => _url.IsTls;

    /// <summary>The name that its certificate must have; null for a Unix socket.</summary>
    public string? Host => _url.Host;

    /// <summary>Whether it is a name, whose addresses may change.</summary>
    public bool HasName => _url.EndPoint is null && !IPAddress.TryParse(_url.Host, out _);

    /// <summary>Connections that are open, or being opened.</summary>
    public int Active => Volatile.Read(ref _active);

    public bool IsHealthy => Volatile.Read(ref _isHealthy);

    /// <summary>Its addresses as they were resolved last; none before the first time.</summary>
    public IReadOnlyList<EndPoint> Known => Volatile.Read(ref _addresses) ?? [];

    /// <summary>Whether it has failed too often lately.</summary>
    public bool IsEjected
    {
        get
        {
            lock (_gate)
            {
                return _isEjected && _time.GetElapsedTime(_ejectedAt) < _options.EjectFor;
            }
        }
    }

    public void Enter() => Interlocked.Increment(ref _active);

    public void Leave() => Interlocked.Decrement(ref _active);

    /// <summary>Its addresses, beginning with another one each time; resolved now where they never were.</summary>
    public async ValueTask<IReadOnlyList<EndPoint>> AddressesAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<EndPoint> addresses = Volatile.Read(ref _addresses) ?? await ResolveAsync(cancellationToken).ConfigureAwait(false);
        int count = addresses.Count;
        if (count == 1)
        {
            return addresses;
        }

        int first = (int)((uint)Interlocked.Increment(ref _next) % (uint)count);
        return [.. addresses.Skip(first), .. addresses.Take(first)];
    }

    /// <summary>Resolves its name again.</summary>
    public async Task<IReadOnlyList<EndPoint>> ResolveAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<IPAddress> resolved = await _resolve(_url.Host!, _options.Connection.AddressFamily, cancellationToken)
            .ConfigureAwait(false);
        IReadOnlyList<EndPoint> addresses = [.. resolved.Select(PlainAddress.From).Distinct().Select(address => new IPEndPoint(address, _url.Port))];
        Volatile.Write(ref _addresses, addresses);
        return addresses;
    }

    /// <summary>Notes an attempt that has succeeded.</summary>
    /// <returns>Whether it had been ejected.</returns>
    public bool Succeeded()
    {
        lock (_gate)
        {
            bool wasEjected = _isEjected;
            _failures = 0;
            _isEjected = false;
            return wasEjected;
        }
    }

    /// <summary>Notes an attempt that has failed.</summary>
    /// <returns>How many have in a row, where that ejects it now; else zero.</returns>
    public int Failed()
    {
        lock (_gate)
        {
            _failures++;
            bool isOut = _isEjected && _time.GetElapsedTime(_ejectedAt) < _options.EjectFor;
            if (_options.EjectAfter == 0 || _failures < _options.EjectAfter || isOut)
            {
                return 0;
            }

            _isEjected = true;
            _ejectedAt = _time.GetTimestamp();
            return _failures;
        }
    }

    /// <summary>Notes a health check.</summary>
    /// <returns>Whether that has changed its health.</returns>
    public bool Checked(bool good)
    {
        lock (_gate)
        {
            if (good == _isHealthy)
            {
                _checks = 0;
                return false;
            }

            if (++_checks < (good ? _options.HealthyAfter : _options.UnhealthyAfter))
            {
                return false;
            }

            _checks = 0;
            Volatile.Write(ref _isHealthy, good);
            return true;
        }
    }
}
