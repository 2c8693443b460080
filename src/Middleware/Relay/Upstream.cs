using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Addresses;

namespace ByteStreams.Relay;

/// <summary>One upstream of a relay: its addresses, number of connections and health. Thread-safe.</summary>
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

    /// <param name="text">The URL of the options.</param>
    /// <param name="options">The options of the relay.</param>
    /// <param name="time">The clock.</param>
    /// <param name="resolve">Resolves a host name; the system's resolver if null. For tests.</param>
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

    /// <summary>Resolves a host name.</summary>
    internal delegate Task<IReadOnlyList<IPAddress>> Resolver(string host, AddressFamily family, CancellationToken cancellationToken);

    /// <summary>The URL of the options.</summary>
    public string Name { get; }

    public bool IsTls => _url.IsTls;

    /// <summary>The host name, which its certificate must have; null for a Unix socket.</summary>
    public string? Host => _url.Host;

    /// <summary>Whether the host is a name, which is resolved again periodically.</summary>
    public bool HasName => _url.EndPoint is null && !IPAddress.TryParse(_url.Host, out _);

    /// <summary>The number of connections that are open or being opened.</summary>
    public int Active => Volatile.Read(ref _active);

    public bool IsHealthy => Volatile.Read(ref _isHealthy);

    /// <summary>The last resolved addresses; empty before the first resolution.</summary>
    public IReadOnlyList<EndPoint> KnownAddresses => Volatile.Read(ref _addresses) ?? [];

    /// <summary>Whether it is ejected after consecutive failures (<see cref="RelayOptions.EjectAfter"/>).</summary>
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

    /// <summary>Returns the addresses, rotated by one on each call. The first call resolves them.</summary>
    public async ValueTask<IReadOnlyList<EndPoint>> GetAddressesAsync(CancellationToken cancellationToken)
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

    /// <summary>Resolves the host name.</summary>
    public async Task<IReadOnlyList<EndPoint>> ResolveAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<IPAddress> resolved = await _resolve(_url.Host!, _options.Connection.AddressFamily, cancellationToken)
            .ConfigureAwait(false);
        IReadOnlyList<EndPoint> addresses = [.. resolved.Select(PlainAddress.From).Distinct().Select(address => new IPEndPoint(address, _url.Port))];
        Volatile.Write(ref _addresses, addresses);
        return addresses;
    }

    /// <summary>Records a successful connect.</summary>
    /// <returns>Whether it was ejected before.</returns>
    public bool RecordSuccess()
    {
        lock (_gate)
        {
            bool wasEjected = _isEjected;
            _failures = 0;
            _isEjected = false;
            return wasEjected;
        }
    }

    /// <summary>Records a failed connect.</summary>
    /// <returns>The number of consecutive failures if this one ejects it; else zero.</returns>
    public int RecordFailure()
    {
        lock (_gate)
        {
            _failures++;
            bool isEjected = _isEjected && _time.GetElapsedTime(_ejectedAt) < _options.EjectFor;
            if (_options.EjectAfter == 0 || _failures < _options.EjectAfter || isEjected)
            {
                return 0;
            }

            _isEjected = true;
            _ejectedAt = _time.GetTimestamp();
            return _failures;
        }
    }

    /// <summary>Records the result of a health check.</summary>
    /// <returns>Whether <see cref="IsHealthy"/> has changed.</returns>
    public bool RecordHealthCheck(bool isSuccess)
    {
        lock (_gate)
        {
            if (isSuccess == _isHealthy)
            {
                _checks = 0;
                return false;
            }

            if (++_checks < (isSuccess ? _options.HealthyAfter : _options.UnhealthyAfter))
            {
                return false;
            }

            _checks = 0;
            Volatile.Write(ref _isHealthy, isSuccess);
            return true;
        }
    }
}
