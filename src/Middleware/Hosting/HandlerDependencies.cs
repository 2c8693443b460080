using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// Finds the services that a handler's constructor needs and the container does not have, and those that these services need. Nothing is
/// constructed, because a constructor may connect to a database, and <c>check</c> runs where there is none.
/// </summary>
/// <remarks>
/// Accepted are a parameter's default value, keyed services, and whatever the container itself resolves (<see cref="IServiceProvider"/>, open
/// generics, <see cref="IEnumerable{T}"/>). Services that a factory makes are taken as they are. A container that cannot be queried
/// (<see cref="IServiceProviderIsService"/>) is not checked.
/// </remarks>
internal sealed class HandlerDependencies
{
    private readonly IServiceProviderIsService _known;
    private readonly IServiceCollection? _registered;
    private readonly HashSet<Type> _visited = [];
    private readonly List<string> _missing = [];

    private HandlerDependencies(IServiceProviderIsService known, IServiceCollection? registered)
    {
        _known = known;
        _registered = registered;
    }

    /// <exception cref="InvalidOperationException">A service is missing; the message names the handler, the service and the remedy.</exception>
    public static void Check(
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] Type handler, IServiceProvider services)
    {
        if (services.GetService<IServiceProviderIsService>() is not IServiceProviderIsService known)
        {
            return;
        }

        var check = new HandlerDependencies(known, services.GetService<EndpointRegistry>()?.Services);
        if (known.IsService(handler))
        {
            check.VisitService(handler, key: null);
        }
        else if (Activated(handler) is ConstructorInfo constructor)
        {
            check.VisitConstructor(constructor);
        }

        if (check._missing.Count > 0)
        {
            throw new InvalidOperationException(
                $"The handler {Name(handler)} cannot be created: {string.Join("; ", check._missing)}. Register what is missing, or give the parameter a default value.");
        }
    }

    /// <summary>The constructor that <see cref="ActivatorUtilities"/> selects; null if there is none, which it reports itself.</summary>
    private static ConstructorInfo? Activated([DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] Type type)
    {
        ConstructorInfo[] constructors = type.GetConstructors();
        return Array.Find(constructors, constructor => constructor.IsDefined(typeof(ActivatorUtilitiesConstructorAttribute), inherit: false))
            ?? (constructors is [ConstructorInfo only] ? only : null);
    }

    private void VisitConstructor(ConstructorInfo constructor)
    {
        foreach (ParameterInfo parameter in constructor.GetParameters())
        {
            Type type = parameter.ParameterType;
            object? key = parameter.GetCustomAttribute<FromKeyedServicesAttribute>()?.Key;
            if (IsService(type, key))
            {
                VisitService(type, key);
            }
            else if (!IsOptional(parameter))
            {
                _missing.Add(
                    $"the service {Name(type)}{(key is null ? string.Empty : $" with the key '{key}'")}, which the parameter '{parameter.Name}' of "
                    + $"{Name(constructor.DeclaringType!)} needs, is not registered");
            }
        }
    }

    /// <summary>Checks the services of a registered class: the last registration counts, and one usable constructor is enough.</summary>
    private void VisitService(Type type, object? key)
    {
        ServiceDescriptor? last = _registered?.LastOrDefault(service => service.ServiceType == type && Equals(service.ServiceKey, key));
        if ((last is null ? null : Implementation(last)) is not ConstructorInfo[] constructors || !_visited.Add(constructors[0].DeclaringType!))
        {
            return;
        }

        ConstructorInfo? callable = Array.Find(
            constructors, constructor => constructor.GetParameters().All(parameter =>
                IsOptional(parameter) || IsService(parameter.ParameterType, parameter.GetCustomAttribute<FromKeyedServicesAttribute>()?.Key)));
        VisitConstructor(callable ?? constructors[0]);
    }

    /// <summary>The constructors of the class that is registered, the longest first; null for a factory, an instance or an open generic.</summary>
    private static ConstructorInfo[]? Implementation(ServiceDescriptor service)
    {
        ConstructorInfo[]? constructors = service.IsKeyedService
            ? service.KeyedImplementationType?.GetConstructors()
            : service.ImplementationType?.GetConstructors();
        return constructors is null or [] || constructors[0].DeclaringType!.IsGenericTypeDefinition
            ? null
            : [.. constructors.OrderByDescending(constructor => constructor.GetParameters().Length)];
    }

    private bool IsService(Type type, object? key) =>
        key is null ? _known.IsService(type) : _known is IServiceProviderIsKeyedService keyed && keyed.IsKeyedService(type, key);

    private static bool IsOptional(ParameterInfo parameter) =>
        parameter.HasDefaultValue || parameter.IsDefined(typeof(ServiceKeyAttribute), inherit: false);

    /// <summary>The name in C# syntax, without namespaces.</summary>
    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name.Split('`')[0]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name;
}
